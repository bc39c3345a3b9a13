"""What a step reads and changes outside of itself: whether it may be derived, and when it must be traced again."""
