"""Network ACL Manager: stateless rules of subnets."""
