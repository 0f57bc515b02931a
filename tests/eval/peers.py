"""What other methods score on the same data, cut and metrics, measured on two CPU cores.

Each was tuned on the validation period with two to four settings, except where it says "fixed".
"""

from typing import Literal, NamedTuple


class Peer(NamedTuple):
    name: str
    ndcg: float
    recall: float
    coverage: float | None = None
    fit_s: float | None = None
    peak_mib: int | None = None


PEERS: dict[tuple[str, Literal["new", "repeat"]], tuple[Peer, ...]] = {
    ("uci_online_retail", "new"): (
        Peer("popularity", 0.0393, 0.0366, 0.036, 0, 291),
        Peer("trending, half-life 7 d", 0.0925, 0.0780, 0.021, 0, 309),
        Peer("item-kNN", 0.0689, 0.0686, 0.248, 1.4, 497),
        Peer("EASE", 0.1031, 0.1036, 0.376, 40, 674),
        Peer("iALS (implicit)", 0.0920, 0.0909, 0.349, 6, 368),
        Peer("BPR (implicit)", 0.0568, 0.0584, 0.807, 29, 315),
        Peer("WARP (LightFM)", 0.0797, 0.0799, 0.529, 10, 346),
        Peer("EASE + boosted trees", 0.1412, 0.1293, None, 104),
    ),
    ("uci_online_retail", "repeat"): (
        Peer("popularity", 0.0874, 0.0602),
        Peer("EASE", 0.2634, 0.1912),
        Peer("personal frequency", 0.3341, 0.2544),
    ),
    ("complete_journey_dev", "new"): (
        Peer("popularity, fixed", 0.0353, 0.0246),
        Peer("trending, fixed", 0.0376, 0.0268),
        Peer("item-kNN, fixed", 0.0368, 0.0245),
        Peer("EASE, fixed", 0.0431, 0.0286),
        Peer("iALS (implicit), fixed", 0.0416, 0.0270),
    ),
    ("complete_journey_dev", "repeat"): (Peer("personal frequency", 0.3510, 0.1409),),
    ("movielens_1m", "new"): (
        Peer("popularity", 0.1716, 0.0804, 0.043, 0, 252),
        Peer("trending, half-life 3 d", 0.1805, 0.0921, 0.038, 0, 246),
        Peer("item-kNN", 0.1857, 0.0867, 0.102, 1.3, 403),
        Peer("EASE", 0.1800, 0.1030, 0.252, 7, 670),
        Peer("iALS (implicit)", 0.1573, 0.0913, 0.316, 2, 264),
        Peer("BPR (implicit)", 0.0932, 0.0544, 0.801, 92, 251),
        Peer("WARP (LightFM)", 0.1666, 0.0943, 0.384, 48, 253),
        Peer("EASE + boosted trees", 0.1935, 0.1071, None, 56),
    ),
}
