"""Fields, patches and tiles: geometry that backends and alignment share."""
