"""All that is written of a movie: micrographs, STAR files, JSON, pictures."""
