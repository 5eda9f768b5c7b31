/* SPDX-License-Identifier: MIT */
#include "wire/tcp_option.h"

#include "wire/layout.h"

enum { END_OF_OPTIONS = 0, NO_OPERATION = 1 };

/* One option, @kind already read; 1 if it is SMC's, 0 if it is another, or -EPROTO. */
static int option_take(struct bytes_reader *reader, uint8_t kind)
{
	uint8_t length;
	const uint8_t *content;
	struct bytes_reader inside;

	if (kind == NO_OPERATION)
		return 0;
	length = bytes_get_u8(reader);
	if (reader->beyond || length < 2)
		return -EPROTO;
	content = bytes_take(reader, length - 2U);
	if (!content)
		return -EPROTO;
	if (kind != TCP_OPTION_KIND || length % 2)
		return 0;
	inside = bytes_reader(content, length - 2U);
	return bytes_get_u32(&inside) == TCP_OPTION_IDENTIFIER;
}

int tcp_option_find(const void *options, size_t length, const char **field)
{
	struct bytes_reader reader = bytes_reader(options, length);

	while (reader.left) {
		size_t offset = length - reader.left;
		uint8_t kind = bytes_get_u8(&reader);
		int found;

		if (kind == END_OF_OPTIONS)
			break;
		found = option_take(&reader, kind);
		if (found < 0)
			return layout_wrong(field, "option length", found);
		if (found)
			return (int)offset;
	}
	return -ENOENT;
}

int tcp_option_encode(void *to, size_t room)
{
	struct bytes_writer writer = bytes_writer(to, room);

	bytes_put_u8(&writer, TCP_OPTION_KIND);
	bytes_put_u8(&writer, TCP_OPTION_LENGTH);
	bytes_put_u32(&writer, TCP_OPTION_IDENTIFIER);
	return writer.beyond ? -ENOBUFS : (int)TCP_OPTION_LENGTH;
}
