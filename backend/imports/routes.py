"""HTTP of imports."""

from typing import Annotated

from celery import Celery
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from ulid import ULID

from backend.auth.caller import Caller, requires
from backend.db import Pool
from backend.errors import AnyRequest, TooLarge
from backend.idempotency import READS_ITS_BODY, claim
from backend.imports import runs
from backend.imports.operations import FileOperation
from backend.imports.queries import NewImport
from backend.imports.schemas import Format, ImportErrors, ImportList, ImportRun, Kind, Mode
from backend.imports.uploads import import_path, receive
from backend.settings import Settings

Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")]
PageSize = Annotated[int, QueryParameter(ge=1, le=200)]


@post(
    "/",
    status_code=202,
    guards=[requires("imports")],
    request_max_body_size=None,
    operation_class=FileOperation,
    opt={READS_ITS_BODY: True},
)
async def start_import(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    queue: NamedDependency[Celery],
    settings: NamedDependency[Settings],
    kind: Annotated[Kind, QueryParameter(description="What the rows are")],
    file_format: Annotated[Format, QueryParameter(name="format")],
    mode: Annotated[
        Mode, QueryParameter(description="`full`: products that are not in the file are removed")
    ] = "incremental",
    dry_run: Annotated[bool, QueryParameter(description="Check everything, keep nothing")] = False,
    allow_removal: Annotated[
        bool, QueryParameter(description="A full import may remove most of the catalogue")
    ] = False,
) -> ImportRun:
    """Import a file, which is the body as it is; docs/import.md describes the columns."""
    runs.refuse_mode(kind, mode)
    limit_bytes = settings.aisle_import_limit_mb * 1024**2
    if (request.content_length or 0) > limit_bytes:
        raise TooLarge(f"a file may have at most {settings.aisle_import_limit_mb} MB")
    import_id = str(ULID())
    path = import_path(settings.object_store, caller.tenant_id, import_id)
    digest = await receive(request.stream(), path, limit_bytes)
    new = NewImport(
        import_id=import_id,
        kind=kind,
        mode=mode,
        format=file_format,
        dry_run=dry_run,
        allow_removal=allow_removal,
        bytes_total=path.stat().st_size,
    )
    try:
        await claim(request, digest)
        return await runs.start_import(pool, queue, caller.tenant_id, new)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@get("/", guards=[requires("imports")])
async def list_imports(
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> ImportList:
    """List imports, newest first."""
    return await runs.list_imports(pool, caller.tenant_id, cursor, limit)


@get("/{import_id:str}", guards=[requires("imports")])
async def read_import(
    import_id: FromPath[str], caller: NamedDependency[Caller], pool: NamedDependency[Pool]
) -> ImportRun:
    """Follow one import: its progress, its counts, and why it failed if it did."""
    return await runs.read_import(pool, caller.tenant_id, import_id)


@get("/{import_id:str}/errors", guards=[requires("imports")])
async def list_errors(
    import_id: FromPath[str],
    caller: NamedDependency[Caller],
    pool: NamedDependency[Pool],
    cursor: Cursor = None,
    limit: PageSize = 100,
) -> ImportErrors:
    """List rejected rows: number, field and what is wrong. The first 1,000 are kept."""
    return await runs.list_errors(pool, caller.tenant_id, import_id, cursor, limit)


async def provide_queue(state: State) -> Celery:
    return state.queue


async def provide_settings(state: State) -> Settings:
    return state.settings


router = Router(
    "/v1/imports",
    route_handlers=[start_import, list_imports, read_import, list_errors],
    dependencies={"queue": Provide(provide_queue), "settings": Provide(provide_settings)},
    tags=["Imports"],
)
