"""The daemon beside the microscope: notices finished movies, has them aligned, sends the results."""
