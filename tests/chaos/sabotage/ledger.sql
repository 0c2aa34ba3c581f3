-- Broken on purpose: the last status wins, not the highest.
SELECT sabotage('move_message', 'message_state_rank(m.state) < rank', 'true');
