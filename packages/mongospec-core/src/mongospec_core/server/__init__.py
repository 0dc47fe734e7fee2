"""Operations on the server: the driver, transactions, timeouts, errors."""
