"""What a person sees in the Dagster UI: schemas, previews, thumbnails and plots."""
