"""Who is who in a region: keys, certificates, the authority that issues them. Knows nothing else of ours."""
