"""External APIs: REST, GraphQL and SOAP, asked on behalf of modules and read by syncs."""

from intertie_ingest.apis.apis import ApiAnswer, Apis
from intertie_ingest.apis.calls import only_reads, path_of

__all__ = ["ApiAnswer", "Apis", "only_reads", "path_of"]
