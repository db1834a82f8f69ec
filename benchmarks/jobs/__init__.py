"""What jobs on many measurements cost, and whether they survive what happens to long ones."""
