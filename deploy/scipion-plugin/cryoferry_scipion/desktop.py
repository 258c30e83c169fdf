"""Opens what lies in a project's folder: `python -O -m cryoferry_scipion.desktop open|pictures|ctfs PROJECT`.

* `open`: the project in Scipion's desktop. Scipion's own command opens projects by name, out of one folder; a receiver
  may keep its projects anywhere.
* `pictures`: its micrographs, in the viewer that comes with Scipion (`scipion view` needs Xmipp's, in Java).
* `ctfs`: its CTFs with the pictures of their fits, in that viewer.
"""

import glob
import os
import subprocess
import sys

USAGE = "usage: scipion open|pictures|ctfs PROJECT, a folder that holds a project.sqlite"


def open_project(project):
    """Show the project's window until it is closed."""
    from pyworkflow.gui.project import ProjectWindow

    ProjectWindow(project).show()


def show_pictures(project):
    """Show the micrographs that the newest follower has registered, until the viewer is closed."""
    show_set(project, "micrographs.sqlite", "--galleryview")


def show_ctfs(project):
    """Show the CTFs that it has registered."""
    show_set(project, "ctfs.sqlite", "--tableview")


def show_set(project, name, view):
    """Show a set of the newest follower."""
    import pwem

    os.chdir(project)  # the set's paths are relative to the project
    sets = sorted(glob.glob(os.path.join("Runs", "*ProtCryoferryFollow", name)))
    if not sets:
        sys.exit("nothing of that kind is registered in this project yet")
    reader = os.path.join(os.path.dirname(pwem.__file__), "viewers", "mdviewer", "readers.py")
    viewer = [sys.executable, "-m", "metadataviewer", view, "--extensionpath", reader, sets[-1]]
    sys.exit(subprocess.call(viewer))


def main():
    """Do what the command line asks."""
    commands = {"open": open_project, "pictures": show_pictures, "ctfs": show_ctfs}
    project = os.path.abspath(sys.argv[-1])
    if len(sys.argv) != 3 or sys.argv[1] not in commands or not os.path.exists(os.path.join(project, "project.sqlite")):
        sys.exit(USAGE)
    commands[sys.argv[1]](project)


if __name__ == "__main__":
    main()
