"""What a detector costs: parameters, operations, time and memory, and how that compares with what was published."""
