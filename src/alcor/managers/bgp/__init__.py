"""Dynamic routing: BGP peers, speakers and the routes they would tell."""
