"""Which batches are held, from two append-only tables: verdicts of gates and events of holds.

A hold is bound to one verdict (its ``evaluation_id``). It is active from its first ``placed`` event until a
``released`` event names the same verdict, so placing or releasing twice changes nothing. Evaluation ids are hashes of
everything the verdict depends on: a rerun on the same data meets the same, already waived, verdict.
"""

import polars as pl

_HOLD_KEY = ("evaluation_id",)


def hold_history(events: pl.DataFrame) -> pl.DataFrame:
    """One row per hold ever placed, oldest first, with its release if it has one.

    Args:
        events: rows of ``holds``.

    Returns:
        Columns batch, gate, code, reason, measured, threshold, evaluation_id, diagnosis_json, opened_at_us,
        released_by, released_reason, released_at_us.
    """
    ordered = events.sort("at_us")
    placed = ordered.filter(pl.col("event") == "placed").unique(_HOLD_KEY, keep="first", maintain_order=True)
    released = (
        ordered.filter(pl.col("event") == "released")
        .unique(_HOLD_KEY, keep="first", maintain_order=True)
        .select(
            "evaluation_id",
            released_by=pl.col("by"),
            released_reason=pl.col("reason"),
            released_at_us=pl.col("at_us"),
        )
    )
    return placed.join(released, on="evaluation_id", how="left", maintain_order="left").select(
        "batch",
        "gate",
        "code",
        "reason",
        "measured",
        "threshold",
        "evaluation_id",
        "diagnosis_json",
        pl.col("at_us").alias("opened_at_us"),
        "released_by",
        "released_reason",
        "released_at_us",
    )


def active_holds(events: pl.DataFrame) -> pl.DataFrame:
    """The holds that nobody has released."""
    return hold_history(events).filter(pl.col("released_at_us").is_null())


def latest_evaluations(evaluations: pl.DataFrame) -> pl.DataFrame:
    """The newest verdict of each gate on each batch."""
    return evaluations.sort("evaluated_at_us").unique(("batch", "gate"), keep="last", maintain_order=True)


def waived_evaluations(events: pl.DataFrame) -> list[str]:
    """Verdicts that a person released."""
    return events.filter(pl.col("event") == "released")["evaluation_id"].unique(maintain_order=True).to_list()


def due_holds(evaluations: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Newest verdicts that failed and were neither held nor waived yet.

    Level-triggered: computed from the tables alone, so nothing is lost when no one looks for a while.
    """
    return latest_evaluations(evaluations).filter(
        ~pl.col("passed") & ~pl.col("evaluation_id").is_in(events["evaluation_id"].implode())
    )


def failing_gates(evaluations: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Newest verdicts that failed and that nobody waived, whether a hold was placed already or not."""
    waived = waived_evaluations(events)
    return latest_evaluations(evaluations).filter(~pl.col("passed") & ~pl.col("evaluation_id").is_in(waived))
