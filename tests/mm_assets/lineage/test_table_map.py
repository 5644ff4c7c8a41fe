"""The map of lineage covers every table, and names columns that exist."""

import polars as pl

from mm_assets.lineage.table_map import DELETED_LAST, LINEAGE, RECORDS, deletion_order
from mm_assets.schemas import TABLES
from mm_assets.steps import BATCH_STEPS


def test_every_table_has_its_lineage() -> None:
    assert LINEAGE.keys() == TABLES.keys()


def test_columns_of_the_map_exist_and_hold_text() -> None:
    for table, lineage in LINEAGE.items():
        schema = TABLES[table].schema
        for column in (lineage.key, lineage.told_by, *lineage.made_of, *lineage.quotes, *lineage.features):
            if column is not None:
                dtype = schema[column.partition(".")[0]]
                assert dtype in {pl.String, pl.List(pl.String)}, (table, column)


def test_every_column_of_ids_is_followed() -> None:
    """A new column that carries an id of another table has to be put into the map."""
    keys = {lineage.key for lineage in LINEAGE.values() if lineage.key}
    counted = {("review_decisions", "subject_id"), ("gate_evaluations", "evaluation_id")}
    for table, declared in TABLES.items():
        lineage = LINEAGE[table]
        if not lineage.made_of and not lineage.key:
            continue
        for column in declared.columns:
            if column in keys and (table, column) not in counted:
                assert column in {lineage.key, *lineage.made_of}, (table, column)


def test_tables_of_batches_have_records_to_descend_from() -> None:
    """Every table a step of the graph fills is forgotten with its records, but for figures over a whole batch."""
    figures = {
        table for step in BATCH_STEPS for table in step.tables if "evaluation_id" in TABLES[table].columns
    }  # fmt: skip
    for step in BATCH_STEPS:
        for table in set(step.tables) - figures:
            assert table in deletion_order(), table


def test_children_are_deleted_before_what_they_were_made_of() -> None:
    keyed = {table: lineage.key for table, lineage in LINEAGE.items() if lineage.key}
    assert set(DELETED_LAST) == keyed.keys()
    for place, table in enumerate(DELETED_LAST):
        later = {keyed[name] for name in DELETED_LAST[place + 1 :]}
        own_parents = {column for column in LINEAGE[table].made_of if column in keyed.values()} - {keyed[table]}
        assert own_parents <= later, table
    assert deletion_order()[-len(RECORDS) :] == list(RECORDS)
