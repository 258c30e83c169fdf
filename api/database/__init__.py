"""The receiver's database: tables, engine, migrations, writes that share a commit."""
