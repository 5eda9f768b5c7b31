// SPDX-License-Identifier: MIT
/*
 * Results: the latency histogram and the JSON line
 */
#include <stdio.h>

#include "tools.h"

/*
 * Values below HISTOGRAM_FINE have a bucket each; above, every power of two is divided into
 * HISTOGRAM_FINE buckets.
 */
static unsigned int bucket_of(uint64_t value)
{
	unsigned int shift, bucket;

	if (value < HISTOGRAM_FINE)
		return (unsigned int)value;
	shift = 63U - (unsigned int)__builtin_clzll(value) - 6U;
	bucket = (shift + 1) * HISTOGRAM_FINE + (unsigned int)(value >> shift) - HISTOGRAM_FINE;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t bucket_value(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < HISTOGRAM_FINE)
		return bucket;
	shift = bucket / HISTOGRAM_FINE - 1;
	return ((uint64_t)(bucket % HISTOGRAM_FINE + HISTOGRAM_FINE) << shift) +
	       ((1ULL << shift) >> 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
	uint64_t rank = (uint64_t)(quantile * (double)histogram->count);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen > rank)
			return bucket_value(i);
	}
	return histogram->max;
}

void json_begin(const char *workload)
{
	printf("{\"workload\": \"%s\"", workload);
}

void json_text(const char *name, const char *value)
{
	printf(", \"%s\": \"%s\"", name, value);
}

void json_number(const char *name, double value)
{
	printf(", \"%s\": %.9g", name, value);
}

void json_latency(const struct histogram *histogram)
{
	double mean =
		histogram->count > 0 ? (double)histogram->sum / (double)histogram->count / 1e3 : 0;

	json_number("latency_us", (double)histogram_quantile(histogram, 0.5) / 1e3);
	json_number("latency_p99_us", (double)histogram_quantile(histogram, 0.99) / 1e3);
	json_number("latency_mean_us", mean);
	json_number("latency_max_us", (double)histogram->max / 1e3);
}

void json_meter(const struct meter *meter, double transactions)
{
	double seconds = (double)meter->elapsed_ns / 1e9;
	double client = (double)meter->client_us / 1e6;
	double server = (double)meter->server_us / 1e6;

	json_number("seconds", seconds);
	json_number("transactions", transactions);
	json_number("rate", transactions / seconds);
	json_number("cpu_client_s", client);
	json_number("cpu_server_s", server);
	json_number("cpu_us_per_transaction", (client + server) * 1e6 / transactions);
	json_number("server_pid", meter->server_pid);
}

void json_end(void)
{
	puts("}");
	fflush(stdout);
}
