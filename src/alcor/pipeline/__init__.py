"""Pure: goal state and local numbers to OpenFlow, and a switch that simulates the result."""
