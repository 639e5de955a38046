"""A region under load, with thousands of simulated hosts: `alcor simulate`."""
