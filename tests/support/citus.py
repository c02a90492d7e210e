"""A PostgreSQL that looks like the coordinator of a Citus cluster.

Citus is in no registry, so its catalog and its functions are plain tables and functions here, of
the same names. A table that is distributed behaves as one of Citus 13.2 does where the service
notices: a key that is stored already is reported without the code of such an error.
"""

import psycopg

from tests.support.postgresql import libpq_url

_SQL = """
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT 4000000000, 'citus', oid, 'public'::regnamespace, false, '13.2-1'
FROM pg_roles WHERE rolname = current_user;

CREATE TABLE pg_dist_node (nodename text, isactive bool, shouldhaveshards bool, noderole text);
INSERT INTO pg_dist_node VALUES
('coordinator', true, false, 'primary'), ('worker', true, true, 'secondary');
INSERT INTO pg_dist_node SELECT 'worker' || n, true, true, 'primary'
FROM generate_series(1, {workers}) AS n;
CREATE TABLE pg_dist_partition (logicalrelid regclass UNIQUE, partmethod "char", partkey text);
CREATE TABLE pg_dist_shard (logicalrelid regclass, shardid bigint GENERATED ALWAYS AS IDENTITY);

CREATE FUNCTION refuse_duplicate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE is_stored boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE id = $1)', TG_TABLE_NAME)
    INTO is_stored USING NEW.id;
    IF is_stored THEN
        RAISE EXCEPTION 'duplicate key value violates unique constraint "%_pkey_102026"',
        TG_TABLE_NAME USING ERRCODE = 'XX000';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION create_distributed_table(
    table_name regclass, distribution_column text, colocate_with text DEFAULT 'default',
    shard_count integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (colocate_with = 'none') = (shard_count IS NULL) THEN
        RAISE EXCEPTION 'cannot colocate tables with a shard count of their own';
    END IF;
    INSERT INTO pg_dist_partition VALUES (table_name, 'h', distribution_column);
    INSERT INTO pg_dist_shard SELECT table_name FROM generate_series(1, coalesce(
        shard_count,
        (SELECT count(*)::int FROM pg_dist_shard WHERE logicalrelid::text = colocate_with)
    ));
    EXECUTE format(
        'CREATE TRIGGER refuse_duplicate BEFORE INSERT ON %s '
        'FOR EACH ROW EXECUTE FUNCTION refuse_duplicate()', table_name
    );
END $$;

CREATE FUNCTION truncate_local_data_after_distributing_table(function_name regclass) RETURNS void
LANGUAGE sql AS $$ $$;

CREATE FUNCTION citus_set_coordinator_host(host text, port integer) RETURNS void
LANGUAGE sql AS $$ UPDATE pg_dist_node SET nodename = host WHERE nodename = 'coordinator' $$;
CREATE FUNCTION citus_add_node(nodename text, nodeport integer) RETURNS void
LANGUAGE sql AS $$ INSERT INTO pg_dist_node VALUES (nodename, true, true, 'primary') $$;

CREATE FUNCTION citus_table_size(logicalrelid regclass) RETURNS bigint
LANGUAGE sql AS $$ SELECT pg_table_size(logicalrelid) $$;
CREATE FUNCTION citus_total_relation_size(logicalrelid regclass) RETURNS bigint
LANGUAGE sql AS $$ SELECT pg_total_relation_size(logicalrelid) $$;
"""


def make_coordinator(url: str, *, workers: int = 2) -> None:
    """Makes a database look like that of a coordinator."""
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(_SQL.replace("{workers}", str(workers)).encode())
