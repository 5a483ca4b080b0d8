/* SPDX-License-Identifier: ISC */
/* `pglane route` alone, for check_route.py. */
#include "daemon/route.h"

int main(int argc, char **argv)
{
	return route_main(argc, argv);
}
