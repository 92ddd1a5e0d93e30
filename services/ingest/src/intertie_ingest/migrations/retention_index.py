"""The index that revision 0003 adds, for the migration and the adoption; frozen like the tables."""

DELIVERIES = "inbound_deliveries"
AGE_INDEX = "ix_inbound_deliveries_age"
AGE_COLUMNS = ("received_at", "delivery_id")
