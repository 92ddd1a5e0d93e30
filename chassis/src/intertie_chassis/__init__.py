"""What every Intertie server shares; it knows no service and is handed what it needs."""
