"""The receiver's database: tables, migrations, transactions."""
