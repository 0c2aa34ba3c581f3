#include "commands/watchdog.h"

#include "support.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heartbeat.h"

/* A child process with a watchdog and one actor that never beats again, with its stderr in a pipe. */
static void be_stalled(int log_fd, bool resting)
{
    struct watchdog *watchdog = NULL;
    struct error error;
    dup2(log_fd, STDERR_FILENO);
    heartbeat_start("engine");
    if (resting) {
        heartbeat_rest();
    }
    if (watchdog_start(100, &watchdog, &error) != ERR_NONE) {
        _exit(1);
    }
    sleep(resting ? 3 : 100);
    watchdog_stop(watchdog);
    heartbeat_end();
    _exit(0);
}

static int end_of_child(bool resting, char *log, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_stalled(ends[1], resting);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while (length + 1 < size && (got = read(ends[0], log + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    log[length] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_stalled_actor_ends_the_process(void **state)
{
    (void)state;
    char log[4096];
    int status = end_of_child(false, log, sizeof(log));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(log, "an actor is stalled"));
    assert_non_null(strstr(log, "stalled=engine"));
}

static void an_actor_that_waits_may_wait(void **state)
{
    (void)state;
    char log[4096];
    int status = end_of_child(true, log, sizeof(log));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_service_manager_hears_that_it_lives(void **state)
{
    (void)state;
    char folder[] = "/tmp/answerd-notify-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    struct watchdog *watchdog = NULL;
    struct error error;
    assert_int_equal(watchdog_start(0, &watchdog, &error), ERR_NONE);
    for (int i = 0; i < 2; i++) {
        char text[64] = "";
        assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), 10);
        assert_string_equal(text, "WATCHDOG=1");
    }
    watchdog_stop(watchdog);
    unsetenv("NOTIFY_SOCKET");
    close(fd);
    unlink(address.sun_path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_actor_ends_the_process),
        cmocka_unit_test(an_actor_that_waits_may_wait),
        cmocka_unit_test(the_service_manager_hears_that_it_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
