rules { max_wall = "250ms" } engine { threads = 2 }
retention { months = 13 }