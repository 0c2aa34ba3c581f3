-- What a function's definition must not hold on to.

-- PostgreSQL (since 15.20) refuses to give a table another column with a default while a function with an SQL-standard body
-- takes its rows: such a function would stand in the way of a later migration.
SELECT test.same((SELECT string_agg(p.oid::regprocedure::text, ' ' ORDER BY 1)
                    FROM pg_proc AS p
                   WHERE p.pronamespace = 'public'::regnamespace AND p.prosqlbody IS NOT NULL
                     AND EXISTS (SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind IN ('r', 'p')
                                  WHERE t.oid = ANY (p.proargtypes::oid[] || p.proallargtypes || p.prorettype)
                                     OR t.typarray = ANY (p.proargtypes::oid[] || p.proallargtypes || p.prorettype))),
                 NULL, 'functions with an SQL-standard body over rows of tables');

-- The read role sees the views and what backtests found, and changes nothing. Functions that run as their owner look where he does,
-- and everybody may call only those that tell why.
SELECT test.same((SELECT string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C") FROM pg_class AS c
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm', 'f')
                     AND has_table_privilege('answerd_read', c.oid, 'SELECT')),
                 'backtest_effect backtest_run', 'tables that the read role reads');
SELECT test.same((SELECT string_agg(c.relname, ' ') FROM pg_class AS c
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                     AND has_table_privilege('answerd_read', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')),
                 NULL, 'what the read role may change');
SELECT test.same((SELECT string_agg(c.relname, ' ') FROM pg_class AS c
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND NOT has_table_privilege('answerd_read', c.oid, 'SELECT')),
                 NULL, 'views that it does not read');
SELECT test.same((SELECT string_agg(p.oid::regprocedure::text, ' ' ORDER BY p.proname) FROM pg_proc AS p
                   WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND has_function_privilege('answerd_read', p.oid, 'EXECUTE')),
                 'why(bigint) why_nothing(bigint,interval)', 'functions that tell the read role what it does not see itself');
SELECT test.same((SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc AS p
                   WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
                     AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
                     AND NOT coalesce(p.proconfig::text LIKE '%search_path=public, pg_temp%', false)),
                 NULL, 'functions that look into somebody else''s tables');
