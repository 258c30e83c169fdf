"""What the camera adds and what takes it away: gain references, defects, and whether they fit."""
