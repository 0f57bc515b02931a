"""OpenAPI of a body that is a file."""

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema

MEDIA_TYPES = {
    "text/csv": "product_id,title\nsku-7,Pale Ale\n",
    "application/x-ndjson": '{"product_id":"sku-7","title":"Pale Ale"}\n',
    "application/octet-stream": None,
}


@dataclass
class FileOperation(Operation):
    def __post_init__(self) -> None:
        content = {
            name: OpenAPIMediaType(schema=Schema(), example=example)
            for name, example in MEDIA_TYPES.items()
        }
        self.request_body = RequestBody(content=content, required=True)
