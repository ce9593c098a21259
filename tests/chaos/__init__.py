"""Two joiners and two routers under load while everything is killed, stopped and restarted."""
