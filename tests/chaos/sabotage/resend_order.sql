-- Broken on purpose: nobody waits for a message whose outcome is unknown, though it will be sent again.
SELECT sabotage('mark_unknown', 'unknown_policy(o, d) <> ''resend''', 'true');
