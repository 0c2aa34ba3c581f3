/* The versions of the libraries as they are loaded now, for `answerd version` and bug reports. */
#ifndef IO_LIBRARY_VERSIONS_H
#define IO_LIBRARY_VERSIONS_H

#include "base/buf.h"

/* Appends "name version" lines. */
void library_versions(struct buf *out);

#endif
