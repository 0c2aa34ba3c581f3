/* Debian's Lua raises its errors by glibc's checked longjmp, which ThreadSanitizer does not know: the frames of ours
 * that an error leaves stay on its shadow call stack for ever, megabytes for each event of a rule set that fails. In
 * the build for ThreadSanitizer this one takes its place, and goes by the one that ThreadSanitizer watches. */
#include <setjmp.h>

__attribute__((noreturn, no_sanitize("thread"))) void __longjmp_chk(jmp_buf environment, int value);

void __longjmp_chk(jmp_buf environment, int value)
{
    longjmp(environment, value);
}
