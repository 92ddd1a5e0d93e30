"""The seed document's four SQL statements, which run verbatim on a new database of either kind."""

import re

# ruff: noqa: W291
#: as they stand in the seed document, letter for letter, trailing spaces too
SEED = r"""
   INSERT INTO `campaign_department_external_systems` 
   (system_name, display_name, system_type) 
   VALUES ('law_enforcement', 'Law Enforcement System', 'hybrid');
   INSERT INTO `campaign_department_external_system_connections`
   (system_id, connection_type, api_base_url, api_auth_type, config_json)
   VALUES (1, 'api', 'https://law-enforcement-api.example.com', 'bearer', 
   '{"webhook_secret": "your_secret_here"}');
   INSERT INTO `campaign_department_external_data_mappings`
   (system_id, mapping_name, target_table, mapping_config, sync_frequency)
   VALUES (1, 'incidents_to_events', 'campaign_department_events', 
   '{"field_mappings": {"title": "event_title", "date": "date"}}', 'realtime');
   INSERT INTO `campaign_department_module_system_mappings`
   (module_name, system_id, access_type)
   VALUES ('events', 1, 'read_write');
"""
STATEMENTS = re.findall(r"INSERT.*?;", SEED, re.DOTALL)
