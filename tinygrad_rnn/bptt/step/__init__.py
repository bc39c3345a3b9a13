"""A step of a recurrence as data: traced, with its backward pass, in the order in which it runs."""
