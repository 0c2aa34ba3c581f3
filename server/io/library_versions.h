/* The versions of the libraries as they are loaded now: for `answerd version` and bug reports, and whether they will
 * do. */
#ifndef IO_LIBRARY_VERSIONS_H
#define IO_LIBRARY_VERSIONS_H

#include "base/buf.h"
#include "base/error.h"

/* Appends "name version" lines. */
void library_versions(struct buf *out);

/* ERR_INTERNAL when one of them is older than this program needs, or known to be broken: the text says which, why, and
 * what to do. A program that was built with good ones may be started with others. */
err_t library_versions_check(struct error *reterr) MUST_CHECK;

/* The same for one of them, by the name that library_versions() prints, and a version. A name that is not known is
 * fine. */
err_t library_version_check(const char *name, const char *version, struct error *reterr) MUST_CHECK;

#endif
