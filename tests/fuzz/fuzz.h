/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share
 */
#ifndef SMCU_TESTS_FUZZ_H
#define SMCU_TESTS_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)                                                                        \
	do {                                                                                       \
		if (!(expression))                                                                 \
			abort();                                                                   \
	} while (0)

#endif
