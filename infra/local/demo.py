"""`make demo`: a shop goes in through the public API, its models are trained, and it is served."""

import contextlib
import time
from collections.abc import Generator

import httpx
import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from backend.training.schemas import Model
from infra.local import demo_api
from infra.local.demo_account import (
    DemoAccount,
    account_path,
    prepare_account,
    remember,
    remembered,
)
from infra.local.demo_api import ImportRun
from infra.local.demo_screen import Show, progress
from infra.local.demo_shop import Shop, ShopFile, chosen_shop, some_shopper
from infra.local.preflight import CannotStart
from infra.local.server import last_lines
from infra.local.state import private_folder, state_folder
from infra.local.up import Site, engine_in_words, running
from ml.release import Score

NAMES = {
    "own-models": "own models",
    "popularity": "popularity",
    "trending": "trending",
    "item-knn": "item-kNN",
    "ease": "EASE",
    "ials": "iALS",
}


def run() -> int:
    """Start, import and train what is not there yet, say where to look, stay until Ctrl-C."""
    console = Console()
    started_at = time.monotonic()
    console.print("Starting PostgreSQL, Redis and Aisle …")
    shop = chosen_shop(private_folder(state_folder()))
    with running(
        lambda environment, state_dir: prepare_account(shop, environment, state_dir)
    ) as site:
        console.print(f"Ready after {time.monotonic() - started_at:.1f} s.\n")
        account = remembered(site.state_dir, shop.slug)
        with demo_api.open_client(site.base_url, account.key) as client, answering(site):
            show_shop(site, shop, client, console)
        invite(site, shop, account, console)
        site.supervisor.wait()
    return 0


@contextlib.contextmanager
def answering(site: Site) -> Generator[None]:
    """Says in words when the API stops answering."""
    try:
        yield
    except httpx.TransportError as error:
        site.supervisor.check()
        log = site.state_dir / "logs" / "api.log"
        raise CannotStart(
            f"The API stopped answering ({error}). The last lines of {log}:\n{last_lines(log)}"
        ) from error


def show_shop(site: Site, shop: Shop, client: httpx.Client, console: Console) -> None:
    """Import and train what has not been, then the comparison and the verdict."""
    fresh = import_new(site, shop, client, console)
    account = remembered(site.state_dir, shop.slug)
    if fresh or not account.is_trained:
        train(site, client, console)
        remember(site.state_dir, msgspec.structs.replace(account, is_trained=True))
    model = serving(client)
    if model:
        console.print()
        console.print(comparison(model))
        console.print(f"[bold]Verdict:[/bold] {model.verdict}\n")


def import_new(site: Site, shop: Shop, client: httpx.Client, console: Console) -> bool:
    """Whether anything was imported; a file that was imported before is left alone."""
    account = remembered(site.state_dir, shop.slug)
    waiting = [file for file in shop.files if file.fingerprint not in account.imported]
    if not waiting:
        return False
    console.print(f"[bold]Importing[/bold] {shop.name} through POST /v1/imports")
    with progress(console) as show:
        for file in waiting:
            import_file(site, client, file, show)
            account = account.having_imported(file.fingerprint)
            remember(site.state_dir, account)
    return True


def import_file(site: Site, client: httpx.Client, file: ShopFile, show: Show) -> None:
    show(file.kind, 0.0, "sending")
    started_at = time.monotonic()
    begun = demo_api.start_import(client, file)
    for run in demo_api.follow_import(client, begun.import_id):
        site.supervisor.check()
        show(file.kind, run.progress, rows_in_words(run, time.monotonic() - started_at))
        if run.state == "failed":
            log = site.state_dir / "logs" / "worker.log"
            raise CannotStart(
                f"The import of {file.path} failed: {run.reason}\n"
                f"The last lines of {log}:\n{last_lines(log)}"
            )
        if run.state == "succeeded":
            show(file.kind, 1.0, rows_in_words(run, time.monotonic() - started_at))


def rows_in_words(run: ImportRun, took_s: float) -> str:
    rejected = f", {run.rows_rejected:,} rejected" if run.rows_rejected else ""
    return f"{run.rows_read:,} rows, {run.rows_read / max(took_s, 0.001):,.0f}/s{rejected}"


def train(site: Site, client: httpx.Client, console: Console) -> None:
    """A training that fails leaves a shop served by the fallbacks; that is said, not hidden."""
    console.print("\n[bold]Training[/bold] through POST /v1/models/train")
    job = begun = demo_api.start_training(client)
    with progress(console) as show:
        for job in demo_api.follow_training(client, begun.job_id):
            site.supervisor.check()
            figures = "  ".join(f"{name} {value:.4g}" for name, value in job.detail.items())
            show(job.stage or job.state, job.progress, figures)
    if job.state == "failed":
        log = site.state_dir / "logs" / "trainer.log"
        console.print(f"[yellow]No models of its own:[/yellow] {job.reason}")
        console.print(f"Simpler orders answer meanwhile. The last lines of {log}:")
        console.print(last_lines(log), highlight=False, markup=False)
    elif job.reason:
        console.print(job.reason)


def serving(client: httpx.Client) -> Model | None:
    return next((model for model in demo_api.models(client) if model.serving), None)


def comparison(model: Model) -> Table:
    """Own models against the baselines, on the same shoppers, best first."""
    metrics = model.metrics
    table = Table(
        title="Own models against popularity, trending, item-kNN, EASE, iALS",
        caption=f"{metrics.shoppers:,} shoppers, and what they first bought in the last weeks,\n"
        "which no model had seen. Lift: own models' NDCG@20 over the row's, 95 % interval",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method")
    for name in ("NDCG@20", "Recall@20", "coverage", "lift"):
        table.add_column(name, justify="right")
    for score in sorted(metrics.scores, key=lambda score: -score.ndcg):
        serves = score.name == model.champion
        table.add_row(
            NAMES.get(score.name, score.name) + (" (serves)" if serves else ""),
            f"{score.ndcg:.4f}",
            f"{score.recall:.4f}",
            f"{score.coverage:.1%}",
            lift_in_words(score),
            style="bold" if serves else None,
        )
    return table


def lift_in_words(score: Score) -> str:
    """Of own models over this row."""
    if score.lift is None or score.lift_low is None or score.lift_high is None:
        return ""
    return f"{score.lift:+.0%} ({score.lift_low:+.0%} to {score.lift_high:+.0%})"


def invite(site: Site, shop: Shop, account: DemoAccount, console: Console) -> None:
    """Where to look, and a request to copy: outside a frame, so that it can be."""
    rows = {
        "Shop": f"{site.base_url}/shop, where every click changes the next answer",
        "Reference": f"{site.base_url}/schema",
        "Engine": engine_in_words(site),
        "Logs": f"{site.state_dir / 'logs'}",
        "Secret key": f"of `{shop.slug}`, in {account_path(site.state_dir, shop.slug)}",
        "Stop": "Ctrl-C; the next start finds everything as it is now",
    }
    table = Table.grid(padding=(0, 3))
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    title = "[bold green]Aisle is running[/bold green]"
    console.print(Panel(table, title=title, title_align="left", expand=False, padding=(1, 2)))
    console.print("Ask for recommendations yourself:\n")
    question = {"placement": "for-you", "customer_id": some_shopper(shop), "limit": 5}
    console.print(
        f"curl -s {site.base_url}/v1/recommendations \\\n"
        f"  -H 'Authorization: Bearer {account.key}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{msgspec.json.encode(question).decode()}'\n",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
