"""The registry: who the external systems are, how to reach them, how their data maps, which module may use them."""
