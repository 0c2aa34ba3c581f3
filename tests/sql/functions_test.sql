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
