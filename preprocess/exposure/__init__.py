"""What is known of an exposure before alignment: acquisition, dose, groups of frames."""
