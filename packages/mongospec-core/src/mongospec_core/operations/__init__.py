"""Operations on documents, one verb per module."""
