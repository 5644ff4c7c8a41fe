"""How well the ablation predicts mixtures it never saw, and what it costs.

Run it on a lake with samples, such as the demo's, with two idle cores::

    python benchmarks/ablation.py .demo/lake --mixtures 24
    python benchmarks/ablation.py .demo/lake --times 2     # the same numbers twice

Every held-out mixture is a random point under the floors; it is predicted from the design runs alone, then trained and
measured. Printed are Spearman's coefficient of predicted and measured loss per capability and of the objective with
the interval of a bootstrap over the mixtures, the share of losses inside their interval, and wall and CPU time.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from mm_assets.mixtures.ablation.ablation import Ablation, ablate
from mm_assets.mixtures.ablation.lake_corpus import read_corpus
from mm_assets.mixtures.ablation.page import summarize
from mm_assets.mixtures.ablation.regression import rank_correlation
from mm_assets.mixtures.ablation.rows import ablation_rows
from mm_assets.mixtures.exclusions import exclusions
from mm_assets.policy import Policy, load_policy
from resources.delta_lake import DeltaLake
from resources.holds import Holds
from resources.proxy_model import TransformerTrainer

DRAWS = 2_000


def main() -> None:
    """Ablate once or several times and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", help="root of a lake with fusion samples")
    parser.add_argument("--policy", type=Path, help="TOML over the default policy")
    parser.add_argument("--mixtures", type=int, help="held-out mixtures; the policy's number if not given")
    parser.add_argument("--times", type=int, default=1, help="repetitions, which must give the same numbers")
    options = parser.parse_args()
    policy = load_policy(options.policy)
    if options.mixtures:
        changed = policy.ablation.model_copy(update={"held_out_mixtures": options.mixtures})
        policy = policy.model_copy(update={"ablation": changed})
    seen = [measure(options.lake, policy) for _ in range(options.times)]
    rows = [one.pop("rows") for one in seen]
    print(json.dumps({"runs": seen, "same_numbers": all(one == rows[0] for one in rows)}, indent=1))


def measure(root: str, policy: Policy) -> dict:
    """One ablation and its figures."""
    lake = DeltaLake(root=root)
    started, cpu = time.perf_counter(), cpu_seconds()
    corpus, delivered = read_corpus(lake, exclusions(Holds(lake=lake)), policy)
    found = ablate(
        corpus,
        TransformerTrainer(policy.ablation),
        floors=policy.mixtures.floors,
        delivered=delivered,
        by_hand={**policy.mixtures.weights},
        policy=policy.ablation,
        told=lambda done, count, run: print(f"{done}/{count} {run.plan.name} {run.seconds:.1f} s", flush=True),
    )
    judged = found.prediction
    return {
        "device": found.device,
        "proxies": len(found.runs),
        "tokens": sum(run.tokens for run in found.runs),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(cpu_seconds() - cpu, 1),
        "recipe": dict(zip(found.pools, found.choice.forecast.weights, strict=True)),
        "summary": summarize(found),
        "rank_correlations": {name: round(value, 3) for name, value in judged.capabilities.items()},
        "median_rank_correlation": round(judged.median, 3),
        "objective_rank_correlation": round(judged.objective, 3),
        "objective_interval": bootstrap(found),
        "inside_interval": round(judged.covered, 3),
        "held_out_mixtures": judged.mixtures,
        "forgotten": found.forgotten,
        "rows": ablation_rows("benchmark", found, policy.ablation).to_dicts(),
    }


def bootstrap(found: Ablation) -> list[float]:
    """Interval of 95 % of the objective's rank correlation, over the held-out mixtures."""
    tests = found.of_role("held_out")
    weights = np.array([run.plan.weights for run in tests])
    predicted = sum(share * found.models[name].predict(weights)[0] for name, share in found.importance.items())
    measured = [
        sum(share * np.log(run.held_out[name].mean) for name, share in found.importance.items()) for run in tests
    ]
    rng = np.random.default_rng(1)
    picks = rng.integers(0, len(tests), size=(DRAWS, len(tests)))
    drawn = [rank_correlation(predicted[pick].tolist(), np.array(measured)[pick].tolist()) for pick in picks]
    return [round(float(edge), 3) for edge in np.quantile(drawn, [0.025, 0.975])]


def cpu_seconds() -> float:
    """CPU time of this process and of those it started."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


if __name__ == "__main__":
    main()
