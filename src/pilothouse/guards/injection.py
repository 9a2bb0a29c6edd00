"""What attempts to take over a model look like: in what users say, and in what tools bring back.

A rule that stands *alone* is enough by itself. The others are things that people also say for good reasons ("enable
developer mode" of a telephone): one is noted, two different ones near each other are taken for an attempt.
"""

from __future__ import annotations

from .patterns import Check, Pattern

VERSION = "2026.11"
"""Of the built-in rules; part of a policy's version."""

_GAP = r"(?:\S{1,24}\s+){0,3}?"
_EARLIER = r"(?:previous|prior|above|earlier|preceding|foregoing|former|original|initial|system|safety|developer|hidden|built-in|existing)"
_RULES = r"(?:instructions?|instruction set|prompts?|rules|guidelines|directions|directives?|programming|guardrails|safeguards|restrictions|constraints|policies|training|commands|orders)"
_DROP = r"(?:ignor(?:e|es|ing)|disregard(?:s|ing)?|forget(?:ting)?|bypass(?:ing)?|overrid(?:e|ing)|overrule|discard|dismiss|abandon|pay no attention to|do not follow|don't follow|do not obey|don't obey|stop following|never mind|set aside|throw (?:out|away)|unlearn)"
_PROMPT_TEXT = r"(?:system (?:prompt|message|instructions?)|(?:initial|original|hidden|secret|internal|confidential|developer|pre)[- ]?(?:prompt|instructions?|message|directives?|guidelines)|custom instructions|prompt verbatim|instructions verbatim)"
_TELL = r"(?:reveal|show|print|repeat|output|display|tell|give|list|write(?: out)?|share|dump|leak|expose|disclose|recite|return|reproduce|summari[sz]e|translate|encode|paste|what(?:'s| is| are| was| were))"
_FREE = r"(?:without (?:any )?(?:restrictions?|limits?|limitations|rules|filters?|censorship|ethics|ethical|moral|safety|guidelines)|no (?:restrictions|limits|limitations|rules|filters?|ethics|ethical|moral|safety|guidelines|boundaries)|unrestricted|unfiltered|uncensored|amoral|jailbroken|unethical|not bound by|free (?:of|from) (?:all |any )?(?:restrictions|rules|limits|constraints|guidelines|filters))"
_NAMED_MODE = r"(?:dan|god|jailbreak|jailbroken|unrestricted|unfiltered|uncensored|evil|dude|aim|stan|opposite|anarchy)"
_PRIVATE = r"(?:conversation|chat history|message history|system prompt|credentials?|passwords?|api[ _-]?keys?|access tokens?|secrets?|cookies?|private keys?|ssh keys?|environment variables?|\.env|customer (?:data|list|records)|contacts|database)"
_SETTINGS = frozenset(
    [
        "parameter",
        "parameters",
        "field",
        "fields",
        "argument",
        "arguments",
        "option",
        "options",
        "template",
        "templates",
        "editor",
        "settings",
        "setting",
        "tab",
        "file",
        "files",
        "length",
        "size",
        "feature",
        "cache",
        "caching",
        "design",
        "engineering",
    ]
)
_MACHINE = r"(?:ai|a\.i\.|llms?|language models?|assistants?|ai agents?|chatbots?|gpt|chatgpt|claude|gemini|copilot|models?|agents?)"


def _not_mine(found: str) -> bool:
    # "ignore my previous instructions, Tuesday is better": people take back what they said themselves.
    return f" {found.lower()} ".find(" my ") < 0


def _no_setting(found: str) -> bool:
    # "show me the system prompt parameter": whoever builds agents asks about the thing, not for its text.
    return found.split()[-1].lower().strip(".,:;!?") not in _SETTINGS


def _alone(name: str, expression: str, *, check: Check | None = None) -> Pattern:
    return Pattern(name=name, group="injection", expression=f"(?i){expression}", check=check)


def _weak(name: str, expression: str) -> Pattern:
    return Pattern(name=name, group="injection", expression=f"(?i){expression}", alone=False)


_ENGLISH: tuple[Pattern, ...] = (
    _alone("instructions dropped", rf"\b{_DROP}\s+(?:of\s+)?{_GAP}{_EARLIER}\s+{_GAP}{_RULES}\b", check=_not_mine),
    _alone("instructions before dropped", rf"\b{_DROP}\s+(?:all\s+|any\s+)?(?:of\s+)?(?:the|these|those)\s+{_RULES}\s+(?:that\s+)?(?:above|before (?:this|that)|so far|given (?:to you|before|above)|you (?:were|have been|got|received|had))\b"),
    _alone("your instructions dropped", rf"\b{_DROP}\s+(?:all\s+|any\s+|every\s+)?(?:of\s+)?your\s+{_GAP}{_RULES}\b"),
    _alone("the above dropped", rf"\b{_DROP}\s+(?:everything|anything|all|whatever)\s+(?:that\s+)?(?:(?:is|was|came|comes|said|written|stated|mentioned)\s+)?(?:above|before this|prior to this|up to now|you(?:'ve| have| were| had)?\s+(?:been\s+)?(?:told|instructed|taught|given|learned|programmed|trained))\b"),
    _alone("no longer bound", r"\byou(?:'re| are)\s+(?:no longer|not)\s+(?:bound|restricted|limited|constrained|obligated|required)\s+(?:by|to)\b"),
    _alone("another self", rf"\b(?:you are|you're|you will be|act as|pretend (?:to be|that you are|you are|you're)|roleplay as|role-play as|behave (?:like|as)|simulate|become|respond as|answer as)\s+(?:now\s+)?(?:\S{{1,24}}\s+){{0,6}}?{_FREE}"),
    _alone("broken free", r"\b(?:broken|broke|break|breaking|freed|set) free (?:of|from)\s+(?:\S{1,24}\s+){0,3}?(?:confines|limitations|limits|restrictions|chains|rules|constraints|shackles|policies|programming|filters?)\b"),
    _alone("two voices", r"\b(?:answer|respond to|reply to)\s+(?:\S{1,16}\s+){0,3}?(?:question|prompt|message|request)s?\b[^.\n]{0,40}\b(?:in )?two (?:separate |different |distinct )?(?:styles|ways|manners|personas|forms|voices|responses)\b|\bno longer (?:respond|answer|act|speak|reply|talk)\s+(?:\S{1,16}\s+){0,6}?as (?:chatgpt|gpt|claude|gemini|an ai|a language model|yourself)\b"),
    _alone("persona without law", r"\b(?:will|can|must|always|to|and)?\s*(?:answer|respond|comply|generate|reply|fulfil+|do)\w*\s+(?:\S{1,24}\s+){0,6}?(?:even if|regardless (?:of )?(?:whether|if|how)|no matter (?:if|how|what|whether))[^.\n]{0,60}\b(?:illegal|immoral|unethical|dangerous|harmful|offensive|inappropriate|against)|\b(?:does|do|has|have)(?:n't| not| no) (?:give a (?:fuck|damn|shit) about|care (?:about|for)|have any|any)\s+(?:\S{1,20}\s+){0,3}?(?:ethic\w*|moral\w*|legal\w*|law\w*|rules|guidelines|polic\w+)"),
    _alone("named jailbreak", r"\bdo anything now\b|\b(?:you are|act as|be|become|called|named|as)\s+(?:now\s+)?(?:\"|')?DAN\b|\bD\.A\.N\b|\bjailbreak(?:ed|ing)? (?:mode|prompt|yourself)\b|\bstay in character as (?:dan|aim|stan)\b"),
    _alone("named mode", rf"\b(?:enter|enable|activate|switch (?:in)?to|turn on|engage|you are (?:now )?in|begin)\s+(?:the\s+)?{_NAMED_MODE}[- ]mode\b"),
    _alone("own prompt asked for", rf"\b{_TELL}\s+(?:me\s+|us\s+|out\s+|back\s+)?(?:\S{{1,24}}\s+){{0,5}}?(?:your|ur)\s+(?:\S{{1,24}}\s+){{0,3}}?{_PROMPT_TEXT}"),
    _alone("the prompt asked for", r"\b(?:repeat|print|output|reveal|dump|leak|recite|show me|give me|send me|tell me|type out|write out|echo|copy)\s+(?:\S{1,16}\s+){0,4}?(?:the|this)\s+(?:\S{1,16}\s+){0,1}?system (?:prompt|message|instructions)(?:\s+\w+)?", check=_no_setting),
    _alone("first words asked for", r"\bwhat (?:were|have) you (?:been )?(?:told|instructed|given|asked to do)\s+(?:\S{1,16}\s+){0,2}?(?:before|initially|at the (?:start|beginning)|first)\b|\b(?:instructions|text|prompt|messages?|words|context)\s+(?:that\s+)?you (?:were|have been|got) (?:given|told|provided|sent|received)\s+(?:\S{1,16}\s+){0,2}?(?:initially|before|at the (?:start|beginning)|first)\b|\byour (?:starting|opening|startup|base|core|root|very first|initial) (?:instructions|prompt|configuration|directives|message|system text)\b|\b(?:hidden|secret) instructions (?:that )?you (?:were|have been|are)\b"),
    _alone("own instructions asked for", r"\b(?:repeat|print|output|reveal|recite|dump|leak|disclose|display|reproduce|paste)\s+(?:me\s+|back\s+|out\s+)?(?:all\s+|exactly\s+)?(?:of\s+)?(?:your|the)\s+(?:(?:full|exact|complete|entire|whole|previous|prior|above|own)\s+){0,2}(?:instructions|prompt|rules|guidelines|directives)\b"),
    _alone("text above asked for", r"\b(?:repeat|print|output|copy|recite|reproduce|echo|return|write out)\s+(?:all(?:\s+of)?|everything|every word|the (?:text|words|content|message|sentences?))\s+(?:\S{1,16}\s+){0,3}?(?:above|before this|preceding this|prior to this)\b"),
    _alone("turn marks of a model", r"<\|(?:im_start|im_end|im_sep|system|assistant|user|endoftext|end_of_text|begin_of_text|start_header_id|end_header_id|eot_id|endofprompt)\|>|<</?SYS>>|\[/?INST\]|<(?:start|end)_of_turn>"),
    _alone("false system text", r"(?:^|\n|\[|\(|<|#|\*)\s*(?:system|admin(?:istrator)?|developer|root|security)\s+(?:override|overwrite|takeover)\b|\bbegin\s+(?:new\s+)?(?:system|admin|developer)\s+(?:prompt|instructions?)\b|(?:^|\n)\s*#{1,6}\s*(?:new|updated|system|real)\s+instructions?\s*:?"),
    _alone("new instructions announced", r"\b(?:your|the|here are(?: your)?|these are(?: your)?|following)\s+(?:new|real|actual|true|updated)\s+(?:instructions|task|objective|directives?|orders|goal|mission|system prompt)\s*(?:is|are|:|follow)"),
    _alone("before the task", r"\bbefore you (?:can |may |are able to )?(?:solve|complete|finish|continue|proceed|do|answer|start|begin)\s+(?:\S{1,16}\s+){0,4}?(?:task|request|question|assignment|work)\b(?:[^.\n]{0,100})\b(?:must|have to|need to|please|first)\b"),
    _alone("note to a machine", rf"\b(?:note|message|instructions?|attention|hey|dear|warning|notice|memo|reminder|info(?:rmation)?)\s*(?:to|for|,|:)?\s+(?:all\s+|any\s+|the\s+)?{_MACHINE}\s*(?:agents?|assistants?|models?|systems?|readers?|processing|reading|summari[sz]ing|reviewing|analy[sz]ing)?\s*[:,!]"),
    _alone("private data sent out", rf"\b(?:send|forward|post|upload|transmit|exfiltrate|leak|e-?mail|mail|submit|append|copy)\s+(?:\S{{1,24}}\s+){{0,6}}?{_PRIVATE}\s+(?:\S{{1,24}}\s+){{0,4}}?(?:to|at|via|into)\s+(?:the\s+(?:url|address|server|endpoint|webhook)\s+)?(?:https?://|[\w.+-]+@|\w+\.(?:com|net|org|io|xyz|ru|evil)\b)"),
    _alone("said to hide it", r"\b(?:do not|don't|never|without)\s+(?:tell(?:ing)?|inform(?:ing)?|mention(?:ing)?|reveal(?:ing)?|notify(?:ing)?|alert(?:ing)?|let(?:ting)?)\s+(?:this\s+|it\s+|any of this\s+|that\s+)?(?:to\s+)?(?:the\s+)?(?:user|human|operator|owner|victim)\b"),
    _alone("refusal forbidden", r"\b(?:you (?:must|can|may|will|should) (?:not|never) (?:refuse|decline|say no|reject)|never (?:refuse|say) (?:a|any|you can't|no)|(?:start|begin) (?:your|the|every) (?:response|answer|reply) with [\"'“]?(?:sure|absolutely|of course|yes)|do not (?:include|add|give) (?:any )?(?:warnings|disclaimers|apologies)[^.\n]{0,60}(?:ethic|moral|illegal|harm))"),
    _alone("answers both ways", r"\b(?:two|both) (?:responses|answers|replies|ways)\b[^\n]{0,160}\b(?:unfiltered|jailbr\w+|without restrictions?|dan|developer mode|evil)\b|\[(?:🔓|jailbreak|dan|developer mode output)\]"),
)  # fmt: skip

_WEAK: tuple[Pattern, ...] = (
    _weak("mode switched", r"\b(?:enter|enable|activate|switch to|turn on|you are (?:now )?in)\s+(?:\S{1,16}\s+)?(?:developer|debug|admin|maintenance|root|sudo|test|god|super ?user|opposite)\s+(?:mode|access|privileges)\b"),
    _weak("role given", r"\b(?:from now on|starting now|henceforth|you are now|pretend (?:to be|that|you)|imagine you are|act as if|your new (?:role|name|task|job|persona) is)\b"),
    _weak("the prompt asked about", rf"\b{_TELL}\s+(?:\S{{1,24}}\s+){{0,3}}?(?:the|this|that)\s+(?:\S{{1,24}}\s+){{0,2}}?{_PROMPT_TEXT}"),
    _weak("rules put aside", rf"\b{_DROP}\s+{_GAP}(?:(?:these|those|the|any|all|safety|content)\s+){{1,2}}(?:rules|instructions|guidelines|restrictions|safeguards|filters|policies|warnings|context|text|request|task|question|user(?:'s)?)\b"),
    _weak("a machine addressed", rf"\bif you(?:'re| are)\s+(?:an?|the)\s+{_MACHINE}\b|\b{_MACHINE}\s+(?:reading|processing|summari[sz]ing|viewing|parsing)\s+this\b|\b(?:as|when) an? {_MACHINE},? you (?:must|should|are)\b"),
    _weak("order to a machine", rf"\b(?:the |any |all )?{_MACHINE} (?:must|should|shall|has to|have to|needs to|is required to|are required to)\b"),
    _weak("urgent heading", r"\b(?:important|urgent|attention|critical|warning)\s*(?:!+|:|-)+\s*(?:\S+\s+){0,4}?(?:instructions?|message|must|ignore|immediately|system|assistant|you)\b|<(?:information|important|instructions?|system|admin|secret)>"),
    _weak("no questions", r"\b(?:without|do not|don't|no need to|skip)\s+(?:asking|ask|wait(?:ing)? for|request(?:ing)?|seek(?:ing)?|require|requiring|any)\s+(?:\S{1,16}\s+){0,3}?(?:confirmation|permission|approval|verification|consent|questions?|user)\b"),
    _weak("tool ordered", r"\b(?:call|use|invoke|run|execute|trigger)\s+(?:the\s+)?[\w.]*\w(?:_\w+)+\b|\b(?:call|use|invoke|execute)\s+(?:the|your)\s+\w+\s+(?:tool|function|plugin|api)\b"),
    _weak("sent to an address", r"\b(?:send|forward|transfer|wire|e-?mail|post|upload|submit|invite)\s+(?:\S{1,24}\s+){0,8}?(?:to|at)\s+(?:https?://|[\w.+-]+@[\w-]+\.\w+|0x[0-9a-f]{10,}|[A-Z]{2}[0-9]{2}[A-Z0-9]{10,})"),
    _weak("false turn", r"(?:^|\n)\s*(?:system|assistant|developer|ai)\s*(?:message|prompt)?\s*:\s*\S|</?(?:system|assistant|developer|user|tool)(?:[-_ ](?:prompt|message|instructions?|result))?>|\[(?:system|assistant|developer)(?: message| prompt)?\]"),
    _weak("end of the data", r"(?:-{3,}|={3,}|#{3,}|\*{3,})\s*(?:end|stop|begin|start)\s+(?:of\s+)?(?:the\s+)?(?:\S{1,16}\s+){0,2}(?:text|document|data|input|context|email|message|prompt|instructions?|user|system)\b|\bend of (?:the )?(?:document|context|user input|data|prompt)\b"),
    _weak("claimed authority", r"\bi(?:'m| am)\s+(?:\S{1,16}\s+){0,3}?(?:developer|admin(?:istrator)?|creator|engineer|owner)\s+(?:of|at|from)\b|\b(?:openai|anthropic|google|your (?:developers?|creators?))\s+(?:has|have)\s+(?:authori[sz]ed|approved|instructed|asked|allowed|permitted)\b|\b(?:override|admin|authorization|security) code\b"),
    _weak("no rules", r"\b(?:without|no|has no|have no) (?:any )?(?:restrictions?|limits|limitations|filters?|censorship|ethics|ethical|moral|morals|guidelines|boundaries)\b|\bnot bound by\b"),
    _weak("no morals", r"\b(?:unrestricted|unfiltered|uncensored|amoral|jailbroken|unethical|immoral|illegal,|unhinged)\b"),
    _weak("never refuses", r"\b(?:never|not|won't|cannot|can't) (?:ever )?(?:refuses?|decline|reject|censor|filter|apologi[sz]e|break character)\b|\bstay(?:s|ing)? in character\b|\bwithout (?:any )?(?:warnings?|disclaimers?)\b"),
    _weak("policy of a maker", r"\b(?:openai|anthropic|google|meta|microsoft|chatgpt)(?:'s|s')?\s+(?:\S{1,16}\s+){0,2}?(?:content )?(?:policy|policies|guidelines|restrictions|rules|filters?)\b|\b(?:reprogram|modify(?:ing)? your (?:programming|code)|fully unlocked|alter ego)\b"),
    _weak("fiction as a veil", r"\b(?:hypothetical(?:ly)?|fictional|in a (?:story|novel|movie|world)|for (?:educational|research) purposes(?: only)?|my (?:late |dead |deceased )?grand(?:ma|mother))\b"),
    _weak("harm asked for", r"\b(?:how (?:to|do i|can i|would (?:i|one|you))|steps? (?:to|for)|instructions (?:to|for|on)|guide (?:to|on)|recipe for|tutorial (?:on|for)|write (?:a|an|me|some)|create (?:a|an))\s+(?:\S{1,16}\s+){0,4}?(?:bombs?|explosives?|malware|ransomware|keylogger|phishing|meth(?:amphetamine)?|nerve agent|pipe bomb|molotov|computer virus|counterfeit|napalm)\b"),
)  # fmt: skip

_LANGUAGES: tuple[tuple[str, str], ...] = (
    ("de", rf"\b(?:ignorier(?:e|en|t)?|vergiss|vergessen|missachte|verwirf)\s+(?:sie\s+)?{_GAP}(?:vorherigen|bisherigen|obigen|vorigen|fr(?:ü|u|ue)heren|vorangegangenen|urspr(?:ü|u|ue)nglichen|deine|ihre)\s+{_GAP}(?:anweisungen|instruktionen|befehle|regeln|vorgaben|anordnungen|richtlinien)\b|\bvergiss alles,? was (?:davor|vorher|du|dir|oben)"),
    ("fr", rf"\b(?:ignore[zr]?|oublie[zr]?|n[eé]glige[zr]?|ne tiens pas compte de|ne tenez pas compte de)\s+{_GAP}(?:instructions|consignes|directives|r[eè]gles|ordres)\s+{_GAP}(?:pr[eé]c[eé]dente?s?|ant[eé]rieure?s?|ci-dessus|initiales?|d'avant|du syst[eè]me)"),
    ("es", rf"\b(?:ignora[rd]?|ignore|olvida[rd]?|olvide|descarta|desestima|haz caso omiso de)\s+{_GAP}(?:instrucciones|reglas|[oó]rdenes|indicaciones|directrices)\s+{_GAP}(?:anteriores|previas|originales|iniciales|de arriba|del sistema)"),
    ("it", rf"\b(?:ignora(?:re)?|dimentica(?:re)?|trascura|non considerare)\s+{_GAP}(?:istruzioni|regole|direttive|indicazioni|ordini)\s+{_GAP}(?:precedenti|sopra|iniziali|originali|di sistema)"),
    ("pt", rf"\b(?:ignor[ea]|esque[cç]a|desconsidere|descarte)\s+{_GAP}(?:instru[cç][oõ]es|regras|ordens|diretrizes)\s+{_GAP}(?:anteriores|pr[eé]vias|acima|originais|iniciais|do sistema)"),
    ("nl", rf"\b(?:negeer|vergeet)\s+{_GAP}(?:vorige|eerdere|voorgaande|bovenstaande|oorspronkelijke)\s+{_GAP}(?:instructies|opdrachten|regels|richtlijnen|aanwijzingen)"),
    ("pl", rf"\b(?:zignoruj|ignoruj|zapomnij o?)\s+{_GAP}(?:poprzedni\S+|wcze[sś]niejsz\S+|powy[zż]sz\S+|wszystki\S+)\s+{_GAP}(?:instrukcj\S+|polece\S+|zasad\S*|regu[lł]\S*)"),
    ("tr", rf"(?:(?:ö|o)nceki|yukar[ıi]daki|t[üu]m|eski)\s+{_GAP}(?:talimat\S*|kural\S*|komut\S*|y[öo]nerge\S*)\s+(?:yoksay|unut|g[öo]rmezden|dikkate alma)"),
    ("ru", r"(?:игнорируй(?:те)?|проигнорируй(?:те)?|забудь(?:те)?|отбрось|не обращай внимания на)\s+(?:\S+\s+){0,3}?(?:предыдущи\S+|прошлы\S+|прежни\S+|вышеуказанн\S+|все)\s+(?:\S+\s+){0,2}?(?:инструкци\S+|указани\S+|правил\S*|команд\S*)"),
    ("uk", r"(?:ігноруй(?:те)?|проігноруй(?:те)?|забудь(?:те)?)\s+(?:\S+\s+){0,3}?(?:попередні\S*|усі|всі)\s+(?:\S+\s+){0,2}?(?:інструкці\S+|вказівк\S+|правил\S*)"),
    ("zh", r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会|不要遵守)[^。\n]{0,10}(?:之前|以前|先前|上面|以上|前面|所有|上述)[^。\n]{0,8}(?:指令|指示|说明|說明|规则|規則|提示|内容|要求)"),
    ("ja", r"(?:以前|これまで|前|上記|すべて|全て|上)の[^。\n]{0,8}(?:指示|命令|ルール|プロンプト|指令)[^。\n]{0,6}(?:無視|忘れ)"),
    ("ko", r"(?:이전|위의|모든|기존|앞의)[^.\n]{0,8}(?:지시|명령|규칙|프롬프트|지침)[^.\n]{0,8}(?:무시|잊)"),
    ("ar", r"(?:تجاهل|انس|انسى)[^.\n]{0,24}(?:التعليمات|الأوامر|القواعد|الإرشادات)"),
    ("hi", r"(?:पिछले|पिछली|पहले के|सभी|ऊपर)[^।\n]{0,24}(?:निर्देश|आदेश|नियम)[^।\n]{0,24}(?:अनदेखा|नज़रअंदाज़|भूल)"),
    ("vi", r"b[ỏo] qua [^.\n]{0,16}(?:h[ưu][ớo]ng d[ẫa]n|ch[ỉi] th[ịi]|l[ệe]nh)[^.\n]{0,12}(?:tr[ưu][ớo]c|tr[êe]n)"),
    ("id", r"\babaikan\s+(?:semua\s+)?(?:instruksi|perintah|aturan)\s+(?:\S+\s+)?(?:sebelumnya|di atas)"),
)  # fmt: skip

INJECTION: tuple[Pattern, ...] = (
    *_ENGLISH,
    *_WEAK,
    *(_alone(f"instructions dropped ({language})", expression) for language, expression in _LANGUAGES),
)
