"""What runs inside one array element: a supervisor and its stage processes."""
