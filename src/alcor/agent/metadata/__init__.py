"""The metadata service of a host: who an instance is, told to the instance itself."""
