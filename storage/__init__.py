"""Immutable folders, kept on a disk or in S3; knows neither `backend` nor `ml`."""
