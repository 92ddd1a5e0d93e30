"""Named transformations of one value, with arguments, and the chains that a column's value goes through."""
