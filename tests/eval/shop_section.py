"""The part of the page on one data set, whole."""

from collections.abc import Sequence
from pathlib import Path

from tests.eval import plots
from tests.eval.markdown import MODES, Part, image, lift_in_words, spread, table
from tests.eval.peers import PEERS
from tests.eval.shops import ShopRow
from tests.eval.slicing import ItemSlice, ShopperSlice
from tests.eval.stages import DEPTHS, Stages


def shop_section(rows: Sequence[ShopRow], folder: Path) -> Part:
    parts: list[Part] = []
    for row in rows:
        parts.append(_mode(row, folder))
        if row.stages:
            parts.append(_stages(row, row.stages, folder))
    return Part("\n\n".join(p.text for p in parts), [name for p in parts for name in p.plots])


def _mode(row: ShopRow, folder: Path) -> Part:
    best = row.rivals[0]
    plot = f"{row.dataset}-{row.mode}.svg"
    seeds = ", ".join(str(each.seed) for each in row.seeds)
    lines = [
        f"### {MODES[row.mode].capitalize()}",
        f"{row.shoppers:,} shoppers; seeds {seeds}. **{lift_in_words(best.lift)} in NDCG@20 over "
        f"{best.name}**, the best simple method. {row.short_lists:.1%} of the shoppers got fewer "
        f"than 20 products, {row.without_list} none.",
        _methods(row),
        image(plot, f"NDCG by length of history, and share found by popularity: {row.dataset}"),
        _histories(row.histories, best.name),
        _products(row.products, best.name),
    ]
    if row.newcomers is not None:
        cold = row.newcomers
        lines.append(
            f"Shoppers without any history, who are in no figure above: {cold.shoppers:,}; "
            f"NDCG@20 {cold.ndcg:.4f}, recall@20 {cold.recall:.4f}; the trending list for "
            f"everybody {cold.trending_ndcg:.4f}."
        )
    lines.append(
        "The shop's own verdict, on its validation weeks: "
        + " ".join(f"*Seed {each.seed}:* {each.verdict}" for each in row.seeds)
    )
    _draw_slices(row, best.name, folder / plot)
    return Part("\n\n".join(lines), [plot])


def _methods(row: ShopRow) -> str:
    ours = row.seeds
    mean = {name: [getattr(each, name) for each in ours] for name in ours[0].__struct_fields__}
    first = [
        *(f"**{spread(mean[name])}**" for name in ("ndcg", "recall", "mrr", "hit")),
        *(f"{sum(mean[name]) / len(ours):.3f}" for name in ("coverage", "gini", "diversity")),
        "",
        f"{sum(mean['training_seconds']) / len(ours):.0f} / {max(mean['peak_mib']):,}",
    ]
    graded = [
        [
            *(each.name, f"{each.ndcg:.4f}", f"{each.recall:.4f}", f"{each.mrr:.4f}"),
            *(f"{each.hit:.4f}", f"{each.coverage:.3f}", f"{each.gini:.3f}"),
            *(f"{each.diversity:.3f}", lift_in_words(each.lift), ""),
        ]
        for each in row.rivals
    ]
    known = {each.name.lower() for each in row.rivals}
    others = [
        [
            *(f"{peer.name} ¹", f"{peer.ndcg:.4f}", f"{peer.recall:.4f}", "", ""),
            *("" if peer.coverage is None else f"{peer.coverage:.3f}", "", "", ""),
            "" if peer.fit_s is None else f"{peer.fit_s:g} / {peer.peak_mib or ''}",
        ]
        for peer in PEERS.get((row.dataset, row.mode), ())
        if peer.name.split(",")[0].lower() not in known
    ]
    header = ["method", "NDCG@20", "recall@20", "MRR@20", "hit@20", "coverage", "Gini"]
    header += ["diversity", "lift of Aisle (95 % interval)", "fit s / MiB"]
    return table(header, [["**Aisle, as served**", *first], *graded, *others])


def _histories(rows: Sequence[ShopperSlice], rival: str) -> str:
    return table(
        ["products bought before", "shoppers", "NDCG@20", "recall@20", f"NDCG@20 of {rival}"],
        [
            [r.name, f"{r.shoppers:,}", f"{r.ndcg:.4f}", f"{r.recall:.4f}", f"{r.rival_ndcg:.4f}"]
            for r in rows
        ],
    )


def _products(rows: Sequence[ItemSlice], rival: str) -> str:
    return table(
        ["what was bought", "purchases", "found in the 20", f"found by {rival}"],
        [[r.name, f"{r.answers:,}", f"{r.found:.1%}", f"{r.rival_found:.1%}"] for r in rows],
    )


def _draw_slices(row: ShopRow, rival: str, path: Path) -> None:
    figure, (left, right) = plots.panels(2)
    groups = [each.name for each in row.histories]
    series = [
        plots.Line("Aisle", [], [each.ndcg for each in row.histories]),
        plots.Line(rival, [], [each.rival_ndcg for each in row.histories]),
    ]
    plots.bars(left, groups, series, "NDCG@20", "By number of products bought before")
    plots.legend(left)
    deciles = [each for each in row.products if each.name.startswith("decile")]
    places = [float(each.name.split()[1]) for each in deciles]
    shares = [
        plots.Line("Aisle", places, [100 * each.found for each in deciles]),
        plots.Line(rival, places, [100 * each.rival_found for each in deciles]),
    ]
    x_label = "decile of products, most bought first"
    plots.lines(right, shares, x_label, "found in the 20, %", "By popularity of what was bought")
    plots.legend(right)
    plots.save(figure, path)


def _stages(row: ShopRow, found: Sequence[Stages], folder: Path) -> Part:
    plot = f"{row.dataset}-candidates.svg"
    lines = [
        "### The two stages apart",
        f"Sources give {_mean(found, 'candidates'):.0f} candidates per shopper, which hold "
        f"{_mean(found, 'candidate_recall'):.1%} of what was bought. Recall of each source alone, "
        "mean over seeds; *merged*: all sources by the best place in any of them.",
        _source_table(found),
        image(plot, f"Share of purchases among a source's best, by how many: {row.dataset}"),
        "The same candidates in other orders. Retrieval alone is a single source's order; the "
        "lift is of the ranker over it, by seed.",
        _order_table(found),
        "Two promoted products (drawn 20 times from the 100 that sold most in the last 28 days) "
        "that count as 1.0 from a probability on, default 0.5:",
        table(
            ["from a probability of", "promoted places on a list", "NDCG@20 lost"],
            [
                [f"{each.threshold:g}", f"{each.slots:.2f}", f"{each.cost:.1%}"]
                for each in found[0].promotions
            ],
        ),
    ]
    figure, (axis,) = plots.panels(1, height=3.0)
    series = [
        plots.Line(name, DEPTHS, [100 * _recall(found, name, depth) for depth in DEPTHS])
        for name in _names(found)
    ]
    plots.lines(axis, series, "best products of the source", "recall, %", "What sources find")
    plots.legend(axis, beside=True)
    plots.save(figure, folder / plot)
    return Part("\n\n".join(lines), [plot])


def _source_table(found: Sequence[Stages]) -> str:
    return table(
        ["source", *(f"recall@{depth}" for depth in DEPTHS)],
        [[name, *(f"{_recall(found, name, d):.4f}" for d in DEPTHS)] for name in _names(found)],
    )


def _order_table(found: Sequence[Stages]) -> str:
    ranker = ["**the ranker's**", *_both(found, "ranker_ndcg", "ranker_recall"), ""]
    rows = [
        [
            f"{order.order}'s",
            spread([each.orders[place].ndcg for each in found]),
            spread([each.orders[place].recall for each in found]),
            "; ".join(lift_in_words(each.orders[place].lift) for each in found),
        ]
        for place, order in enumerate(found[0].orders)
    ]
    oracle = ["every right answer first", spread([each.oracle_ndcg for each in found]), "", ""]
    return table(
        ["order", "NDCG@20", "recall@20", "lift of the ranker (95 % interval)"],
        [ranker, *rows, oracle],
    )


def _both(found: Sequence[Stages], *names: str) -> list[str]:
    return [f"**{spread([getattr(each, name) for each in found])}**" for name in names]


def _names(found: Sequence[Stages]) -> list[str]:
    """Sources that found anything."""
    return [each.source for each in found[0].sources if max(each.recall.values()) > 0]


def _recall(found: Sequence[Stages], source: str, depth: int) -> float:
    values = [
        each.recall[str(depth)] for one in found for each in one.sources if each.source == source
    ]
    return sum(values) / len(values)


def _mean(found: Sequence[Stages], name: str) -> float:
    return sum(getattr(each, name) for each in found) / len(found)
