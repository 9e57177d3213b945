"""3x3 convolutions in C++, compiled on the machine that runs them."""
