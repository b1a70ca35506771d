"""The jinja chat template of the tiny pair: ChatML, tools as Hermes writes them.

It must print exactly what corpus.render trains on; a test holds the two together. Arguments of
a call may be an object or, as OpenAI sends them, JSON text: a string is printed as it stands.
Content may be text, null, or a list of parts, of which the text is kept.
"""

from __future__ import annotations

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content -%}
{%- for part in content -%}{%- if part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set has_system = messages and messages[0].role in ['system', 'developer'] -%}
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- if has_system -%}{{- text(messages[0].content) -}}
{%- else -%}{{- 'You are a helpful assistant.' -}}{%- endif -%}
{{- '\\n\\nYou may call these functions:\\n<tools>\\n' -}}
{%- for tool in tools -%}{{- tool | tojson -}}{{- '\\n' -}}{%- endfor -%}
{{- '</tools>\\nTo call one, answer <tool_call>{"name": ..., "arguments": ...}</tool_call>' -}}
{{- '<|im_end|>\\n' -}}
{%- elif has_system -%}
{{- '<|im_start|>system\\n' -}}{{- text(messages[0].content) -}}{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if not (loop.first and has_system) -%}
{{- '<|im_start|>' -}}{{- message.role -}}{{- '\\n' -}}{{- text(message.content) -}}
{%- if message.role == 'assistant' and message.tool_calls -%}
{%- for call in message.tool_calls -%}
{%- if message.content or not loop.first -%}{{- '\\n' -}}{%- endif -%}
{%- set function = call.function if call.function else call -%}
{{- '<tool_call>{"name": ' -}}{{- function.name | tojson -}}{{- ', "arguments": ' -}}
{%- if function.arguments is string -%}{{- function.arguments -}}
{%- else -%}{{- function.arguments | tojson -}}{%- endif -%}
{{- '}</tool_call>' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
